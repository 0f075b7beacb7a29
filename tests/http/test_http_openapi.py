"""The document at /schema tells the problems, the permission and the ways to sign in."""

import json

from http_world import HANDLERS, bearer, serve

from tron_payment.http.fields import AMOUNT_PATTERN
from tron_payment.http.permissions import PERMISSIONS


async def test_the_document_is_complete() -> None:
    async with serve(HANDLERS) as world:
        answer = await world.client.get("/schema", headers=bearer())
        same = await world.client.get("/schema/openapi.json", headers=bearer())
    assert answer.status_code == 200 and answer.content == same.content
    document = json.loads(answer.content)
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/orders",
        "/batches",
        "/orders/{number}",
        "/config",
        "/health",
    }
    order = document["paths"]["/orders"]["post"]
    assert {"202", "400", "401", "403", "409", "413", "415", "422", "429", "503"} <= set(
        order["responses"]
    )
    assert order["security"] == [{"token": []}, {"apiKey": []}]
    assert order["x-permission"] == "payout:create"
    assert set(order["x-roles"]) == PERMISSIONS["payout:create"]
    health = document["paths"]["/health"]["get"]
    assert health["security"] == [] and "401" not in health["responses"]
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                if "$ref" in response:
                    name = response["$ref"].rsplit("/", 1)[1]
                    problem = document["components"]["responses"][name]
                    assert "application/problem+json" in problem["content"]
    wish = document["components"]["schemas"]["Order"]
    amount = wish["properties"]["amount"]
    assert (amount["type"], amount["pattern"]) == ("string", AMOUNT_PATTERN)
    assert AMOUNT_PATTERN in json.dumps(wish["properties"]["max_fee_trx"]).replace("\\\\", "\\")
    assert "to" in wish["required"]


async def test_the_document_is_open_in_development_only() -> None:
    async with serve(HANDLERS) as world:
        assert (await world.client.get("/schema")).status_code == 401
    async with serve(HANDLERS, open_schema=True) as world:
        assert (await world.client.get("/schema")).status_code == 200
