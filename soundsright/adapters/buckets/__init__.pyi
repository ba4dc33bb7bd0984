from .folder import FolderBucket, new_bucket_folder
from .opening import check_bucket, may_write, open_bucket
from .places import BucketPlace, own_place, source_place
from .s3 import S3Bucket

__all__ = [
    "BucketPlace",
    "FolderBucket",
    "S3Bucket",
    "check_bucket",
    "may_write",
    "new_bucket_folder",
    "open_bucket",
    "own_place",
    "source_place",
]
