"""All faults, by name; whoever adds one adds it here, and command line and tests have it."""

from labs.trial.faults.broker import BROKER_FAULTS
from labs.trial.faults.cluster import CLUSTER_FAULTS
from labs.trial.faults.database import DATABASE_FAULTS
from labs.trial.faults.fault import Fault
from labs.trial.faults.limits import LIMIT_FAULTS
from labs.trial.faults.model import MODEL_FAULTS
from labs.trial.faults.network import NETWORK_FAULTS
from labs.trial.faults.processes import PROCESS_FAULTS

_KINDS = (PROCESS_FAULTS, BROKER_FAULTS, CLUSTER_FAULTS, LIMIT_FAULTS, NETWORK_FAULTS, DATABASE_FAULTS, MODEL_FAULTS)
FAULTS: dict[str, Fault] = {fault.name: fault for kind in _KINDS for fault in kind}

__all__ = ["FAULTS", "Fault"]
