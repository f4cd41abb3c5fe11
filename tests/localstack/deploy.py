"""Deploys a CloudFormation template, prints the stack's outputs as JSON, and fails with what each resource said.
usage: deploy.py ENDPOINT STACK TEMPLATE"""

import json
import sys

import boto3
from botocore.exceptions import WaiterError

endpoint, stack, template = sys.argv[1:]
cloudformation = boto3.client(
    "cloudformation",
    endpoint_url=endpoint,
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
with open(template) as file:
    body = file.read()
cloudformation.validate_template(TemplateBody=body)
cloudformation.create_stack(StackName=stack, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])
try:
    cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
except WaiterError:
    for event in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]:
        print(event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason", ""), file=sys.stderr)
    sys.exit(1)
outputs = cloudformation.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
print(json.dumps({output["OutputKey"]: output["OutputValue"] for output in outputs}))
