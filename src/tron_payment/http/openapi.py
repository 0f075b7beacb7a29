"""The OpenAPI 3.1 document at ``/schema``, completed with what Litestar cannot know.

Which problems an operation answers follows from its method and whether it is open; the ways to
sign in are the same for all. So they are added here, once, and not written at each handler.
"""

from http import HTTPStatus
from typing import Any, Final

from litestar import Litestar, Request, Response, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute

from tron_payment.core.errors import NotFound
from tron_payment.http.limits import JSON
from tron_payment.http.permissions import PERMISSIONS, STEP_UP
from tron_payment.http.problems import PROBLEM_MEDIA_TYPE, RESERVED
from tron_payment.http.step_up import CODE_HEADER
from tron_payment.http.step_up_routes import CODE_PATTERN

SCHEMA_PATH: Final = "/schema"

_EVERY: Final = {
    "400": "Malformed request or header",
    "404": "Nothing here, or not yours",
    "406": "No acceptable media type",
    "408": "It did not come to its end in time",
    "422": "Refused content",
    "429": "Too many requests",
    "431": "The address and headers are too large",
    "500": "Our fault",
    "503": "Something this needs is away",
}
_KNOWN_CALLER: Final = {"401": "Unknown caller", "403": "Not permitted"}
_WRITING: Final = {
    "409": "State conflict, or the key is in flight",
    "413": "Body too large",
    "415": "Unsupported media type",
}
_RETRY_AFTER: Final = frozenset({"409", "429", "503"})

_TEXTS: Final = {**_EVERY, **_KNOWN_CALLER, **_WRITING}
"""What an operation answers besides, its handler names in ``opt["problems"]``, as ``("401",)``."""

_CODE: Final[dict[str, Any]] = {
    "name": CODE_HEADER,
    "in": "header",
    "required": False,
    "description": "A code of your second factor, where the installation asks for one.",
    "schema": {"type": "string", "pattern": CODE_PATTERN},
}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457 problem details; some codes add members of their own.",
    "required": sorted(RESERVED),
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string"},
        "param": {"type": ["string", "null"]},
        "request_id": {"type": "string"},
        "retryable": {"type": "boolean"},
    },
}
_SIGN_IN: Final[dict[str, Any]] = {
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


class Document(JsonRenderPlugin):
    """Renders the completed document, once per process."""

    def __init__(self) -> None:
        super().__init__(path=["/", "/openapi.json"])
        self._text: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._text is None:
            complete(request.app, openapi_schema)
            self._text = self.render_json(request, openapi_schema)
        return self._text


def answer_spec(view: type[Any], description: str) -> ResponseSpec:
    """Another good answer of a handler, for its ``responses``: a dry run's, say."""
    return ResponseSpec(data_container=view, description=description, generate_examples=False)


def openapi_config(*, title: str, version: str, open_schema: bool) -> OpenAPIConfig:
    """The configuration; `open_schema` lets everybody read it, as development does."""
    opt: dict[str, Any] = {"open": True} if open_schema else {"permission": "schema:read"}
    return OpenAPIConfig(
        title=title,
        version=version,
        render_plugins=(Document(),),
        use_handler_docstrings=True,
        openapi_router=Router(
            SCHEMA_PATH,
            route_handlers=[],
            include_in_schema=False,
            opt={**opt, "produces": ("application/json", "application/vnd.oai.openapi+json")},
            after_request=_refuse_strays,
        ),
    )


def _refuse_strays(response: Response[Any]) -> Response[Any]:
    """Litestar answers other paths under the router with a page; we have one shape of refusal."""
    if response.status_code == 404:
        raise NotFound("there is nothing at this path")
    return response


def complete(app: Litestar, document: dict[str, Any]) -> None:
    """Add problems, permissions and sign-in to the document, in place."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components["securitySchemes"] = _SIGN_IN
    components["responses"] = {
        f"Problem{status}": _problem_response(status, text) for status, text in _TEXTS.items()
    }
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        item = document.get("paths", {}).get(route.path_format or "/", {})
        for handler in route.route_handlers:
            for method in handler.http_methods:
                if operation := item.get(method.lower()):
                    about_one = "{" in route.path_format
                    _complete_operation(operation, method, handler.opt, about_one=about_one)


def _complete_operation(
    operation: dict[str, Any], method: str, opt: dict[str, Any], *, about_one: bool
) -> None:
    statuses = dict(_EVERY)
    if not opt.get("open"):
        statuses |= _KNOWN_CALLER
        operation["security"] = [{"token": []}, {"apiKey": []}]
        operation["x-permission"] = opt["permission"]
        operation["x-roles"] = sorted(PERMISSIONS[opt["permission"]])
        if opt["permission"] in STEP_UP or opt.get("code"):
            operation["x-step-up"] = opt.get("code", True)
            operation.setdefault("parameters", []).append(_CODE)
    else:
        operation["security"] = []
    if method != "GET":
        statuses |= _WRITING
    elif about_one:
        statuses["409"] = _WRITING["409"]  # a thing may be in no state to show this of itself
    statuses |= {status: _TEXTS[status] for status in opt.get("problems", ())}
    responses = operation.setdefault("responses", {})
    _complete_answers(responses, opt)
    responses.pop("400", None)
    for status in sorted(statuses):
        responses.setdefault(status, {"$ref": f"#/components/responses/Problem{status}"})


def _complete_answers(responses: dict[str, Any], opt: dict[str, Any]) -> None:
    """Say in which media types good answers come, and with which other status.

    ``opt["produces"]`` and ``opt["answers_also"]`` know; bytes that a handler returns as JSON are
    an object, not the string that they are to Python.
    """
    for status, answer in [*responses.items()]:
        if not status.startswith("2") or "content" not in answer:
            continue
        content = answer["content"]
        for media_type in opt.get("produces", ()):
            if "*" not in media_type and media_type != JSON:
                content.setdefault(media_type, {"schema": {"type": "string"}})
        if opt.get("produces") and JSON not in opt["produces"]:
            content.pop(JSON, None)
        elif content.get(JSON, {}).get("schema", {}).get("type") == "string":
            content[JSON]["schema"] = {"type": "object"}
        for other in opt.get("answers_also", ()):
            responses[str(other)] = {"description": HTTPStatus(other).phrase, "content": content}


def _problem_response(status: str, text: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": text,
        "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in _RETRY_AFTER:
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}}}
    return answer
