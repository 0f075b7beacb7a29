"""HTTP for the network: reads only, open to every role."""

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter

from tron_payment.core.clock import rfc3339
from tron_payment.http.paging import Page, PageRequest, fetch_page, provide_page
from tron_payment.network import views as v
from tron_payment.network.certificates import Certificates
from tron_payment.network.documents import Certificate, ParameterChange
from tron_payment.network.service import Network

READ = {"permission": "network:read"}


class NetworkRoutes(Controller):
    """The chain as it is."""

    path = "/tron/network"
    tags = ("network",)
    dependencies = {"page": Provide(provide_page, sync_to_thread=False)}

    @get("/info", opt=READ)
    async def info(self, network: NamedDependency[Network]) -> v.InfoView:
        """Which chain this is, our contracts on it, and the nodes."""
        return await network.info()

    @get("/status", opt=READ)
    async def status(self, network: NamedDependency[Network]) -> v.StatusView:
        """Every node asked now: height, lag, agreement, circuit state."""
        return await network.status()

    @get("/height", opt=READ)
    async def height(self, network: NamedDependency[Network]) -> v.HeightView:
        """Head block, solidified block, and how far our follower has read."""
        return await network.height()

    @get("/fees", opt=READ)
    async def fees(self, network: NamedDependency[Network]) -> v.FeesView:
        """Prices now and the cost of a USDT transfer."""
        return await network.fees()

    @get("/health", opt=READ)
    async def health(self, network: NamedDependency[Network]) -> v.HealthView:
        """Healthy or degraded with the reasons; 503 when payments cannot go on."""
        return await network.health()

    @get("/parameters", opt=READ)
    async def chain_parameters(self, network: NamedDependency[Network]) -> v.ParametersView:
        """The chain's parameters under java-tron's names."""
        return v.ParametersView(parameters=await network.parameters())

    @get("/parameters/changes", opt=READ)
    async def parameter_changes(
        self, page: NamedDependency[PageRequest]
    ) -> Page[v.ParameterChangeView]:
        """Parameters whose change was noticed, newest first."""
        return await fetch_page(
            ParameterChange, {}, page, _change, field="noticed_at", newest_first=True
        )

    @get("/certificates", opt=READ)
    async def certificates(self, page: NamedDependency[PageRequest]) -> Page[v.CertificateView]:
        """What our follower has read, newest first."""
        return await fetch_page(
            Certificate, {}, page, _certificate, field="made_at", newest_first=True
        )

    @get("/certificates/{from_block:int}/check", opt=READ)
    async def check_certificate(
        self,
        from_block: FromPath[int],
        certificates: NamedDependency[Certificates],
        node: Annotated[str | None, QueryParameter(max_length=64)] = None,
    ) -> v.CertificateCheckView:
        """Compute a certificate again from a node's blocks."""
        check = await certificates.check(from_block, node)
        return v.CertificateCheckView(
            certificate=_certificate(check.certificate),
            node=check.node,
            hash=check.hash,
            agrees=check.agrees,
        )

    @get("/blocks/{block_number:str}", opt=READ)
    async def block(
        self, block_number: FromPath[str], network: NamedDependency[Network]
    ) -> v.BlockView:
        """A block with its transactions in words."""
        return await network.block(block_number)

    @get("/transactions/{tx_id:str}", opt=READ)
    async def transaction(
        self, tx_id: FromPath[str], network: NamedDependency[Network]
    ) -> v.TransactionView:
        """A transaction in words: pending, included or solid."""
        return await network.transaction(tx_id)


def _change(row: ParameterChange) -> v.ParameterChangeView:
    return v.ParameterChangeView(
        name=row.name,
        before=row.before,
        after=row.after,
        noticed_at=rfc3339(row.noticed_at),
        head_block=row.head_block,
    )


def _certificate(row: Certificate) -> v.CertificateView:
    return v.CertificateView(
        from_block=row.from_block,
        to_block=row.to_block,
        blocks=row.to_block - row.from_block + 1,
        transactions=row.transactions,
        ours=row.ours,
        ours_exact=row.ours_exact,
        reread_blocks=row.reread_blocks,
        previous_hash=row.previous_hash,
        hash=row.hash,
        made_at=rfc3339(row.made_at),
    )
