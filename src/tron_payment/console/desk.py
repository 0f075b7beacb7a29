"""One person's desk: who they are, the API in their name, and pages made for them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from litestar import Response

from tron_payment.console.actions_table import ACTIONS
from tron_payment.console.api import Api
from tron_payment.console.kept import Look, Looks
from tron_payment.console.pages import EXPLORERS, page
from tron_payment.console.sessions import Visitor
from tron_payment.http.permissions import STEP_UP


@dataclass(frozen=True, slots=True)
class Desk:
    """What every page of the console is made with."""

    visitor: Visitor
    api: Api
    network: str
    step_up: bool = False
    """Whether approvals ask for a code of the second factor."""

    def can(self, permission: str) -> bool:
        """Whether this person has a permission; decides what is shown, never what is done."""
        return permission in self.visitor.permissions

    def may(self, action: str) -> bool:
        """Whether to show an action's button: the person may do it, and the API has it."""
        found = ACTIONS[action]
        return self.can(found.permission) and self.api.offers(found.path)

    def asks_code(self, action: str) -> bool:
        """Whether the form of an action needs a field for the code."""
        return self.step_up and ACTIONS[action].permission in STEP_UP

    async def look(
        self,
        looks: Looks,
        path: str,
        make: Callable[[], Awaitable[Any]] | None = None,
        *,
        patient: bool = False,
    ) -> Look:
        """What the API says at a path, or `make` makes, for this person, as far as it is known.

        Args:
            patient: The page is there already, and this is its slow part: it may wait.
        """
        who = self.visitor
        return await looks.get(
            who.subject,
            (who.role, who.permissions, path),
            make or (lambda: self.api.get(path)),
            patient=patient,
        )

    def page(self, template: str, path: str, *, done: str | None = None, **values: Any) -> Any:
        """A page with `can`, `may`, `explorer` at hand; `done` names an action to report."""
        notice = ACTIONS[done].done if done and done in ACTIONS else None
        answer: Response[str] = page(
            template,
            self.visitor,
            path=path,
            notice=notice,
            can=self.can,
            may=self.may,
            asks_code=self.asks_code,
            explorer=EXPLORERS.get(self.network, ""),
            **values,
        )
        return answer
