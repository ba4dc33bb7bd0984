"""Buckets for objects: a folder on this machine, or a service with S3's API.

`open_bucket` opens a `BucketPlace`. `check_bucket` tells an operator whether the bucket can be used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
