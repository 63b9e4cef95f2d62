"""What boto3 does with the environment it is given, as JSON."""

import json
import os
import urllib.request

import boto3
import botocore
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

BUCKET, PREFIX = "reports", "tenants/acme/"
s3 = boto3.client("s3")
big = os.urandom(64 << 20)
facts = {"version": boto3.__version__}


def body(**what):
    return s3.get_object(Bucket=BUCKET, **what)["Body"].read().decode()


def error(call):
    try:
        call()
    except ClientError as problem:
        return [problem.response["ResponseMetadata"]["HTTPStatusCode"], problem.response["Error"]["Code"]]


def over_http(url, data=None):
    request = urllib.request.Request(url, data=data, method="PUT" if data else "GET")
    return urllib.request.urlopen(request).read().decode()


key = PREFIX + "a b/é"
s3.put_object(Bucket=BUCKET, Key=key, Body=b"0123456789", Metadata={"owner": "acme"})
facts["get"] = body(Key=key)
facts["metadata"] = s3.head_object(Bucket=BUCKET, Key=key)["Metadata"]
facts["range"] = body(Key=key, Range="bytes=2-4")
s3.copy_object(Bucket=BUCKET, Key=PREFIX + "copy", CopySource={"Bucket": BUCKET, "Key": key})
facts["copy"] = body(Key=PREFIX + "copy")
facts["list"] = [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX)["Contents"]]
with open("big", "wb") as file:
    file.write(big)
s3.upload_file("big", BUCKET, PREFIX + "big", Config=TransferConfig(multipart_chunksize=16 << 20))
s3.download_file(BUCKET, PREFIX + "big", "again")
with open("again", "rb") as file:
    facts["multipart"] = file.read() == big
options = {"Bucket": BUCKET, "Key": PREFIX + "presigned"}
url = s3.generate_presigned_url("put_object", Params=options, ExpiresIn=60)
over_http(url, b"by URL")
url = s3.generate_presigned_url("get_object", Params=options, ExpiresIn=60)
facts["presigned"] = over_http(url)
s3.delete_object(Bucket=BUCKET, Key=key)
facts["missing"] = error(lambda: body(Key=key))
facts["denied"] = error(lambda: body(Key="secret"))
facts["many"] = error(lambda: s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}]}))
stranger = boto3.client("s3", aws_access_key_id=os.environ["BAD_TOKEN"], aws_secret_access_key="unused")
facts["refused"] = error(lambda: stranger.get_object(Bucket=BUCKET, Key=key))
print(json.dumps(facts))
