"""From a cohort to arrays ready for training: fingerprint -> plan -> store. Imports no torch."""

from semivox.prepare.appearance import Appearance, appearance
from semivox.prepare.cache import cache_folder
from semivox.prepare.costs import COSTS, Costs
from semivox.prepare.fingerprint import Fingerprint, fingerprint
from semivox.prepare.grid import Grid, checked_grid
from semivox.prepare.normalise import PADDING_SHARE, normalise
from semivox.prepare.parallel import map_cases
from semivox.prepare.plan import ChannelPlan, ClassPlan, NetworkPlan, Plan, RegionPlan
from semivox.prepare.plan_json import plan_from_json, plan_to_json, write_plan
from semivox.prepare.planner import make_plan
from semivox.prepare.resample import resample, source_of
from semivox.prepare.store import Store, StoredCase, build_store
from semivox.prepare.targets import FULL, read_label_on

__all__ = [
    "COSTS",
    "FULL",
    "PADDING_SHARE",
    "Appearance",
    "ChannelPlan",
    "ClassPlan",
    "Costs",
    "Fingerprint",
    "Grid",
    "NetworkPlan",
    "Plan",
    "RegionPlan",
    "Store",
    "StoredCase",
    "appearance",
    "build_store",
    "cache_folder",
    "checked_grid",
    "fingerprint",
    "make_plan",
    "map_cases",
    "normalise",
    "plan_from_json",
    "plan_to_json",
    "read_label_on",
    "resample",
    "source_of",
    "write_plan",
]
