"""Patients without their names: a keyed pseudonym of PatientID, the same on one computer account for ever."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from semivox.cohort.dicom.headers import Instance
from semivox.files import create_private

KEY_VARIABLE = "SEMIVOX_PATIENT_KEY"
DIGITS = 8
NOBODY = re.compile(r"|anon.*|unknown|none|n/?a|0+|-+", re.IGNORECASE)
"""Identifiers that many patients have once a series was anonymised."""
SHORTEST = 3


def pseudonym(instance: Instance) -> str:
    """Eight hexadecimal digits for the patient of an object; "" where it does not tell one.

    They are a keyed hash (HMAC-SHA-256): without the key nobody finds a patient by trying all identifiers.
    The key is the environment variable ``SEMIVOX_PATIENT_KEY``, else a random one that is kept in the user's
    own configuration, for this user alone to read.
    """
    identifier = instance.patient.strip()
    if NOBODY.fullmatch(identifier):
        return ""
    return hmac.new(_key(), identifier.encode(), hashlib.sha256).hexdigest()[:DIGITS]


def short_hash(text: str) -> str:
    """Six hexadecimal digits, keyed too."""
    return hmac.new(_key(), text.encode(), hashlib.sha256).hexdigest()[:6]


def names_patient(name: str, instance: Instance) -> bool:
    """Whether a file's or folder's name holds the patient's identifier, or a part of the patient's name."""
    words = [instance.patient, *re.split(r"[\^=,\s]+", instance.patient_name)]
    folded = name.casefold()
    return any(
        word and (word in folded if len(word) >= SHORTEST else word == folded)
        for word in (word.strip().casefold() for word in words)
    )


def _key() -> bytes:
    given = os.environ.get(KEY_VARIABLE)
    if given:
        return given.encode()
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return create_private(home / "semivox" / "patient-key", secrets.token_hex(32)).strip().encode()
