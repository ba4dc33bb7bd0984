from .api import subnet_app
from .coordinator import Coordinator, CoordinatorContext
from .submissions import SubmissionLog
from .view import CoordinatorView

__all__ = ["Coordinator", "CoordinatorContext", "CoordinatorView", "SubmissionLog", "subnet_app"]
