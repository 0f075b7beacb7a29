"""The page on which a browser wallet signs: `/sign/{request_id}`, for whoever has its address.

Nobody can guess a request's id, and a signature is its own proof: it is taken only if it is by a
key that the chain lets sign these very bytes, and whoever has such a key could send them himself.
"""

from tron_payment.wallets.browser.routes import HANDLERS

__all__ = ["HANDLERS"]
