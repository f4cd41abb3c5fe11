"""Runs scenarios.json against a Step Functions endpoint, by boto3, and prints what was seen of each as JSON.

usage: drive.py URL [NAME…]    NAME: only scenarios whose name holds one of these

The same scenarios are run by the AWS SDK for Rust in driver.rs: what one driver does, the other does.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

SCENARIOS = json.loads((Path(__file__).parent / "scenarios.json").read_text())
REGION = "eu-west-1"  # Of their own, so that nothing else is in the way.
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
AT_ONCE = 8
ATTEMPTS = 5  # LocalStack looks through what other threads are changing, and sometimes fails at that.
LIMIT = 40


def expand():
    """Every scenario by its name."""
    runs = {}
    ends = {
        "Yes": {"Type": "Pass", "Result": "yes", "End": True},
        "No": {"Type": "Pass", "Result": "no", "End": True},
    }
    choices = SCENARIOS["choices"]
    for rule in choices["rules"]:
        choice = {"Type": "Choice", "Choices": [{**rule, "Next": "Yes"}], "Default": "No"}
        name = "choice " + json.dumps(rule, separators=(",", ":"))
        runs[name] = {"states": {"C": choice, **ends}, "input": choices["input"]}
    intrinsics = SCENARIOS["intrinsics"]
    for call in intrinsics["calls"]:
        state = {"Type": "Pass", "Parameters": {"r.$": call}, "End": True}
        runs["intrinsic " + call] = {"states": {"P": state}, "input": intrinsics["input"]}
    jsonata = SCENARIOS["jsonata"]
    for expression in jsonata["expressions"]:
        state = {"Type": "Pass", "Output": expression, "End": True}
        name = expression if isinstance(expression, str) else json.dumps(expression, separators=(",", ":"))
        runs["jsonata " + name] = {"language": "JSONata", "states": {"P": state}, "input": jsonata["input"]}
    for run in SCENARIOS["runs"]:
        runs["run " + run["name"]] = run
    definitions = {"definition " + name: value for name, value in SCENARIOS["definitions"].items()}
    calls = {"call " + call["name"]: call for call in SCENARIOS["calls"]}
    return runs, definitions, calls


def code(error):
    return error.response["Error"]["Code"].removesuffix("Exception")


def steady(call, **parameters):
    """Calls; again where the service says that it is not the call's fault."""
    for attempt in range(ATTEMPTS):
        try:
            return call(**parameters)
        except ClientError as error:
            if code(error) != "InternalError" or attempt + 1 == ATTEMPTS:
                raise
            time.sleep(0.1)


class Driver:
    def __init__(self, url):
        config = Config(
            parameter_validation=False, retries={"total_max_attempts": 1}, max_pool_connections=64, read_timeout=70
        )
        keys = {"aws_access_key_id": "000000000000", "aws_secret_access_key": "test"}
        self.sfn = boto3.client("stepfunctions", endpoint_url=url, region_name=REGION, config=config, **keys)
        iam = boto3.client("iam", endpoint_url=url, region_name=REGION, config=config, **keys)
        role = iam.create_role(RoleName=f"scenarios-boto3-{os.getpid()}", AssumeRolePolicyDocument=json.dumps(TRUST))
        self.role = role["Role"]["Arn"]

    def run(self, name, scenario):
        short = f"py{abs(hash(name)):x}"
        activity = self.sfn.create_activity(name=short)["activityArn"]
        definition = {"StartAt": next(iter(scenario["states"])), "States": scenario["states"]}
        if "language" in scenario:
            definition["QueryLanguage"] = scenario["language"]
        if "timeout" in scenario:
            definition["TimeoutSeconds"] = scenario["timeout"]
        text = json.dumps(definition).replace("${activity}", activity)
        try:
            machine = self.sfn.create_state_machine(name=short, definition=text, roleArn=self.role)
        except ClientError as error:
            return {"created": code(error)}
        given = scenario["input_text"] if "input_text" in scenario else json.dumps(scenario["input"])
        execution = self.sfn.start_execution(stateMachineArn=machine["stateMachineArn"], input=given)["executionArn"]
        seen = {"calls": [], "tasks": []}
        token = None
        for step, *arguments in scenario.get("script", []):
            try:
                if step == "take":
                    task = self.sfn.get_activity_task(activityArn=activity, workerName="w")
                    token = task.get("taskToken")
                    if not token:
                        seen["calls"].append("no task")
                        break
                    seen["tasks"].append(json.loads(task["input"]))
                elif step == "succeed":
                    steady(self.sfn.send_task_success, taskToken=token, output=arguments[0])
                elif step == "fail":
                    steady(self.sfn.send_task_failure, taskToken=token, error=arguments[0], cause=arguments[1])
                elif step == "beat":
                    steady(self.sfn.send_task_heartbeat, taskToken=token)
                elif step == "sleep":
                    time.sleep(arguments[0])
                elif step == "stop":
                    self.sfn.stop_execution(executionArn=execution, error=arguments[0], cause=arguments[1])
                else:
                    raise ValueError(step)
                seen["calls"].append("ok")
            except ClientError as error:
                seen["calls"].append(code(error))
        end = time.monotonic() + scenario.get("limit", LIMIT)
        while True:
            described = self.sfn.describe_execution(executionArn=execution)
            if described["status"] != "RUNNING" or time.monotonic() > end:
                break
            time.sleep(0.05)
        seen["status"] = described["status"]
        seen["output"] = described.get("output")
        seen["error"] = described.get("error")
        events = self.sfn.get_execution_history(executionArn=execution, maxResults=1000)["events"]
        seen["events"] = [event["type"] for event in events]
        if scenario.get("unordered"):
            seen["events"].sort()
        return seen

    def definition(self, name, definition):
        short = f"py{abs(hash(name)):x}"
        activity = self.sfn.create_activity(name=short)["activityArn"]
        text = json.dumps(definition).replace("${activity}", activity)
        try:
            self.sfn.create_state_machine(name=short, definition=text, roleArn=self.role)
            return {"created": "ok"}
        except ClientError as error:
            return {"created": code(error)}

    def calls(self, calls):
        """Bad calls, around an activity, a machine and an execution that has succeeded."""
        definition = '{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}'
        own = f"py-calls-{os.getpid()}"
        names = {"activity_name": own, "machine_name": own, "execution_name": own}
        values = {**names, "role": self.role, "definition": definition}
        values["activity"] = self.sfn.create_activity(name=own)["activityArn"]
        machine = self.sfn.create_state_machine(name=own, definition=definition, roleArn=self.role)
        values["machine"] = machine["stateMachineArn"]
        started = self.sfn.start_execution(stateMachineArn=values["machine"], name=own)
        values["execution"] = started["executionArn"]
        while self.sfn.describe_execution(executionArn=values["execution"])["status"] == "RUNNING":
            time.sleep(0.05)

        def filled(value):
            if isinstance(value, dict):
                text, times = value["repeat"]
                return text * times
            if isinstance(value, str):
                for name, text in values.items():
                    value = value.replace("${" + name + "}", text)
            return value

        seen = {}
        for name, call in calls.items():
            parameters = {key: filled(value) for key, value in call["with"].items()}
            method = "".join("_" + c.lower() if c.isupper() else c for c in call["call"]).lstrip("_")
            try:
                steady(getattr(self.sfn, method), **parameters)
                seen[name] = {"code": "ok"}
            except ClientError as error:
                seen[name] = {"code": code(error)}
        return seen


def main():
    url, wanted = sys.argv[1], sys.argv[2:]
    runs, definitions, calls = (
        {name: value for name, value in group.items() if not wanted or any(part in name for part in wanted)}
        for group in expand()
    )
    driver = Driver(url)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # What waits longest comes first.
        order = sorted(runs, key=lambda name: "script" not in runs[name])
        pending = {name: pool.submit(driver.run, name, runs[name]) for name in order}
        pending.update({name: pool.submit(driver.definition, name, value) for name, value in definitions.items()})
        seen = {name: future.result() for name, future in pending.items()}
    if calls:
        seen.update(driver.calls(calls))
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
