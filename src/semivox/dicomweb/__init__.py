"""DICOMweb: the scans of a study from a server (QIDO-RS, WADO-RS), and what was made of them back (STOW-RS).

Spoken with the standard library. Every answer has a time and a size it may take, no redirect is followed,
and the end of an answer is where its closing boundary is: servers close the connection to end one, so that
half of it looks whole otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semivox.lazy import attach

if TYPE_CHECKING:
    from semivox.dicomweb.address import Address, address_of, is_address, without_login
    from semivox.dicomweb.exchange import Server
    from semivox.dicomweb.storing import store, store_once
    from semivox.dicomweb.study import fetched

__all__ = ["Address", "Server", "address_of", "fetched", "is_address", "store", "store_once", "without_login"]
__getattr__, __dir__ = attach(__name__)
