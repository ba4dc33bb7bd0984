from .answers import BatchAnswers
from .file_client import FileModelClient
from .http_client import HttpModelClient
from .http_exchange import BoundedSocket, Connect, TooLarge
from .stream_client import HttpModelStream

__all__ = [
    "BatchAnswers",
    "BoundedSocket",
    "Connect",
    "FileModelClient",
    "HttpModelClient",
    "HttpModelStream",
    "TooLarge",
]
