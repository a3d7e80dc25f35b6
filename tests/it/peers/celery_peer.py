"""Celery as a peer of the fleet: a client that sends tasks and reads results, and a worker that takes them.

usage: celery_peer.py --broker URL --results URL client|worker

The client reads one JSON command a line from standard input and writes one JSON answer a line:

    {"send": id, "action": …, "payload": …, "queue": …}  → {"sent": id}
    {"await": id}                                         → {"state": …, "result": …}

The worker writes {"ready": true} when it takes tasks, and then each task, a line of JSON: {"id", "args", "kwargs", "queue"}. Its
result of every task is the dictionary that the Python service's workers return.
"""

import argparse
import datetime
import json
import sys

from celery import Celery
from celery.signals import worker_ready

TASK = "app.repository_service_tuf_worker"
QUEUES = ["metadata_repository", "rstuf_internals"]
PATIENCE_SECONDS = 60


def application(broker, results):
    app = Celery(broker=broker, backend=results)
    app.conf.update(
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        result_persistent=True,
        broker_heartbeat=0,
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return app


def say(answer):
    print(json.dumps(answer, default=lambda value: value.isoformat()), flush=True)


def client(app):
    for line in sys.stdin:
        command = json.loads(line)
        if "send" in command:
            arguments = {"action": command["action"], "payload": command["payload"]}
            app.send_task(TASK, kwargs=arguments, queue=command["queue"], task_id=command["send"])
            say({"sent": command["send"]})
        else:
            result = app.AsyncResult(command["await"])
            value = result.get(timeout=PATIENCE_SECONDS, propagate=False)
            value = value if isinstance(value, dict) else repr(value)
            say({"state": result.state, "result": value})


def worker(app):
    @app.task(name=TASK, bind=True)
    def take(self, *args, **kwargs):
        request = self.request
        say({"id": request.id, "args": args, "kwargs": kwargs, "queue": request.delivery_info["routing_key"]})
        return {
            "task": kwargs["action"],
            "status": True,
            "last_update": datetime.datetime.now(datetime.timezone.utc),
            "message": "done by Celery",
            "error": None,
            "details": {"seen": kwargs["action"]},
        }

    @worker_ready.connect
    def ready(**_):
        say({"ready": True})

    app.worker_main(["--quiet", "worker", "--pool", "solo", "--queues", ",".join(QUEUES), "--loglevel", "error"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--broker", required=True)
    parser.add_argument("--results", required=True)
    parser.add_argument("role", choices=["client", "worker"])
    args = parser.parse_args()
    role = {"client": client, "worker": worker}[args.role]
    role(application(args.broker, args.results))


if __name__ == "__main__":
    main()
