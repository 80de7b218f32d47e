"""The functions as Cloud Functions: what is built, and how they replace Cloud Run services."""

import io
import json
import re
from zipfile import ZipFile

import pytest
from google.api_core import exceptions
from google.cloud import functions_v2, storage
from google.cloud.iam_admin_v1 import ServiceAccount

from banditloop.rl_core.backends.google.clients import admin_client, credentials
from banditloop.rl_core.backends.google.provisioning.function_source import RUNTIME
from banditloop.rl_core.config import Config
from tests.google.test_cloud import LOCATION, states, states_except, subscription
from tests.support.emulators import PROJECT
from tests.support.project_functions import APIS

REQUIREMENT = "a-part-of-ones-own==1"


def write(cloud, **values):
    cloud.values |= values
    cloud.path.write_text(json.dumps(cloud.values))


def choose(cloud, functions):
    write(cloud, backend=cloud.values["backend"] | {"functions": functions})


def test_functions_are_built_from_one_archive_as_an_account_of_their_own(cloud):
    write(cloud, image={"packages": [REQUIREMENT]})
    cloud.run("up", "--simulator")
    functions = {name.split("-")[-2]: function for name, function in cloud.project.functions.items()}
    assert functions.keys() == {"logger", "trigger", "monitor", "simulator"}
    assert sorted(cloud.project.builds) == sorted(cloud.project.functions)
    for name, function in functions.items():
        build, service = function.build_config, function.service_config
        assert (build.entry_point, build.runtime) == (name, RUNTIME)
        assert build.service_account.endswith(f"/{cloud.name}-build@{PROJECT}.iam.gserviceaccount.com")
        assert service.service_account_email == f"{cloud.name}-functions@{PROJECT}.iam.gserviceaccount.com"
        assert service.ingress_settings == functions_v2.ServiceConfig.IngressSettings.ALLOW_INTERNAL_ONLY
        assert service.max_instance_request_concurrency == 1
        assert not function.event_trigger
        config = Config.parse(json.loads(service.environment_variables["BANDITLOOP_CONFIG"]))
        assert config.retraining.template.startswith(f"gs://{cloud.name}-bucket/")
        [binding] = cloud.project.policies[service.service].bindings
        assert (binding.role, binding.members[0].partition("@")[0]) == (
            "roles/run.invoker",
            f"serviceAccount:{cloud.name}-push",
        )
    [blob] = storage.Client(PROJECT, credentials()).list_blobs(f"{cloud.name}-bucket", prefix=f"{cloud.name}/source/")
    assert REQUIREMENT in ZipFile(io.BytesIO(blob.download_as_bytes())).read("requirements.txt").decode()


def test_only_another_source_is_built_anew(cloud):
    cloud.run("up")
    cloud.project.builds.clear()
    write(cloud, retraining={"min_new_interactions": 7})
    assert set(states_except(cloud.run("up"), "exists").values()) == {"updated"}
    assert cloud.project.builds == []
    write(cloud, image={"packages": [REQUIREMENT]})
    changed = states_except(cloud.run("up"), "exists")
    assert {name.split()[0] for name in changed} >= {"source", "function"}
    assert sorted(cloud.project.builds) == sorted(cloud.project.functions)
    assert states_except(cloud.run("plan"), "exists") == {}


def test_a_switch_pushes_to_the_new_form_before_it_removes_the_old_one(cloud):
    choose(cloud, "cloud-run")
    cloud.run("up", "--simulator")
    removed = []

    def watch(method):
        call = getattr(cloud.project, method)

        def remove(request, context):
            removed.append(request.name.replace("/functions/", "/services/"))
            assert removed[-1] not in pushed_to(cloud)
            return call(request, context)

        setattr(cloud.project, method, remove)

    watch("DeleteService"), watch("DeleteFunction")
    for functions in ("cloud-functions", "cloud-run"):
        old = set(cloud.project.services)
        choose(cloud, functions)
        planned = states_except(cloud.run("plan", "--simulator"), "exists")
        assert set(planned.values()) == {"to be created", "to be updated", "to be removed"}
        removed.clear()
        cloud.project.changes.clear()
        cloud.run("up", "--simulator")
        assert set(removed) == old
        assert "DeleteSubscription" not in cloud.project.changes  # what waits in it stays
        assert len(cloud.project.services) == 4 and not cloud.project.services.keys() & old
        assert states_except(cloud.run("plan", "--simulator"), "exists") == {}
    del cloud.project.DeleteService, cloud.project.DeleteFunction
    cloud.run("down", "--yes", "--delete-data")
    assert not cloud.project.services and not cloud.project.functions and not cloud.project.accounts


def pushed_to(cloud):
    """The services to which ticks are pushed, all of which Pub/Sub may invoke."""
    names = ("log-ticks", "ticks-trigger", "ticks-monitor", "ticks-simulator")
    addresses = [subscription(cloud, name).push_config.push_endpoint for name in names]
    targets = [next(s.name for s in cloud.project.services.values() if a.startswith(s.uri)) for a in addresses]
    assert all(cloud.project.policies[target].bindings for target in targets)
    return set(targets)


def test_a_failed_build_is_one_line_and_up_builds_again(cloud):
    cloud.project._build = lambda function: "no matching distribution found"
    error = cloud.run("up", code=1)
    assert "no matching distribution found" in error
    planned = states(cloud.run("plan"))
    assert planned[f"function {cloud.name}-logger-function"] == "to be updated"
    del cloud.project._build
    cloud.run("up")
    assert states_except(cloud.run("plan"), "exists") == {}


def test_kubeflow_pipelines_need_the_image(cloud):
    write(cloud, backend=cloud.values["backend"] | {"runner": "kfp", "kfp_host": "https://pipelines.example"})
    assert "give backend.functions = 'cloud-run'" in cloud.run("up", code=2)


def test_the_stand_in_refuses_what_the_service_refuses(cloud):
    email = f"theirs@{PROJECT}.iam.gserviceaccount.com"
    client = admin_client(cloud.config.backend, functions_v2.FunctionServiceClient)

    def create(identifier="ours", entry_point="logger", runtime=RUNTIME, object_="missing.zip", account=email):
        source = {"storage_source": {"bucket": "missing", "object_": object_}}
        name = f"projects/{PROJECT}/serviceAccounts/{email}"
        build = {"entry_point": entry_point, "runtime": runtime, "service_account": name, "source": source}
        service = {"service_account_email": account, "available_memory": "2Gi"}
        function = functions_v2.Function(build_config=build, service_config=service, environment="GEN_2")
        client.create_function(parent=LOCATION, function=function, function_id=identifier).result()

    with pytest.raises(exceptions.PermissionDenied, match="has not been used"):
        create()
    for api in APIS:
        cloud.project.enable(api)
    cloud.project.make_known(email)
    cloud.project.accounts[f"projects/{PROJECT}/serviceAccounts/{email}"] = ServiceAccount(email=email)
    cases = {"Invalid function ID": {"identifier": "Ours"}, "not supported": {"runtime": "python27"}}
    cases |= {"does not exist": {"account": "nobody@example.org"}, "source object": {}}
    for message, values in cases.items():
        with pytest.raises(exceptions.InvalidArgument, match=re.escape(message)):
            create(**values)
    cloud.project.services[f"{LOCATION}/services/ours"] = None
    with pytest.raises(exceptions.AlreadyExists, match="redeploy the function with a different name"):
        create()
