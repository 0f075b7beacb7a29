"""Answers: JSON, Jetty's error pages, and the ways in which fault rules spoil them."""

from typing import Any, Final

import msgspec

from tron_payment.devnet.faults import Rule

GRID: Final = "/v1/"
JSON: Final = b"application/json;charset=utf-8"
HTML: Final = b"text/html;charset=iso-8859-1"
_encode: Final = msgspec.json.Encoder().encode


class Answer:
    """A response; `body` is bytes."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(self, status: int, body: bytes, content_type: bytes = JSON) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers: list[tuple[bytes, bytes]] = []

    @classmethod
    def of(cls, value: Any, status: int = 200) -> "Answer":
        return cls(status, value if isinstance(value, bytes) else _encode(value))


def spoilt(path: str, rules: dict[str, Rule]) -> Answer | None:
    """An answer that a proxy in front of the node would give."""
    if (rule := rules.get("status")) is not None:
        text = "The key exceeds the frequency limit(15), and the query server is suspended for 30s"
        error: dict[str, Any] = {"Error": text}
        if path.startswith(GRID):
            error = {"success": False, "error": text, "statusCode": rule.status}
        answer = Answer.of(error, rule.status)
        if rule.retry_after_s is not None:
            answer.headers.append((b"retry-after", str(rule.retry_after_s).encode()))
        return answer
    if "html" in rules:
        return Answer(200, b"<html><body><h1>Bad gateway</h1></body></html>", b"text/html")
    return None


def preflight() -> Answer:
    """Pages in a browser may ask, as they may ask TronGrid."""
    answer = Answer(200, b"")
    answer.headers += [
        (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
        (b"access-control-allow-headers", b"content-type, tron-pro-api-key"),
    ]
    return answer


def lying(answer: Answer, rule: Rule) -> Answer:
    """The true answer with fields overwritten by the rule's, where both are objects."""
    try:
        value = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        return answer
    return Answer.of(_overwrite(value, rule.answer), answer.status)


def _overwrite(value: Any, lie: Any) -> Any:
    if isinstance(value, dict) and isinstance(lie, dict):
        return value | {name: _overwrite(value.get(name), part) for name, part in lie.items()}
    return lie


def no_such_path(method: str, path: str) -> Answer:
    if method == "GET":
        return _jetty(404, "Not Found", "Not Found", path)
    return wrong_method(method, path)


def wrong_method(method: str, path: str) -> Answer:
    text = f"HTTP method {method} is not supported by this URL"
    return _jetty(405, text, text, path)


def _jetty(status: int, title: str, message: str, path: str) -> Answer:
    """Jetty's error page."""
    servlet = "org.eclipse.jetty.servlet.ServletHandler$Default404Servlet-4d0cc83e"
    page = (
        "<html>\n<head>\n"
        '<meta http-equiv="Content-Type" content="text/html;charset=ISO-8859-1"/>\n'
        f"<title>Error {status} {title}</title>\n</head>\n"
        f"<body><h2>HTTP ERROR {status} {message}</h2>\n<table>\n"
        f"<tr><th>URI:</th><td>{path}</td></tr>\n<tr><th>STATUS:</th><td>{status}</td></tr>\n"
        f"<tr><th>MESSAGE:</th><td>{message}</td></tr>\n"
        f"<tr><th>SERVLET:</th><td>{servlet}</td></tr>\n</table>\n"
        '<hr/><a href="https://jetty.org/">Powered by Jetty:// 9.4.57.v20241219</a><hr/>\n\n'
        "</body>\n</html>\n"
    )
    return Answer(status, page.encode("latin-1", "replace"), HTML)
