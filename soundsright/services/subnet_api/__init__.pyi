from .api import subnet_app
from .coordinator import Coordinator, CoordinatorContext
from .submissions import SubmissionLog

__all__ = ["Coordinator", "CoordinatorContext", "SubmissionLog", "subnet_app"]
