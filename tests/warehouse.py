"""A workspace of Databricks for tests: its SQL warehouse is a session of Spark, which runs what it is sent."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field

from pyspark.sql import SparkSession
from werkzeug.wrappers import Request, Response


@dataclass
class Workspace:
    """The API of a workspace, as far as it is used."""

    spark: SparkSession
    url: str = ""
    readers: set[str] = field(default_factory=lambda: {"reader"})
    strangers: set[str] = field(default_factory=lambda: {"stranger"})
    is_starting: bool = False
    asked: list[dict] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @Request.application
    def __call__(self, request: Request) -> Response:
        assert (request.method, request.path) == ("POST", "/api/2.0/sql/statements")
        token = request.headers["Authorization"].removeprefix("Bearer ")
        asked = request.get_json()
        with self.lock:
            self.asked.append(asked)
        if token not in self.readers | self.strangers:
            return Response(json.dumps({"error_code": 401, "message": "Invalid token"}), 401)
        if self.is_starting:
            return self._answer({"status": {"state": "CANCELED"}})
        if token in self.strangers:
            message = "[INSUFFICIENT_PERMISSIONS] User does not have SELECT on Table"
            return self._answer({"status": {"state": "FAILED", "error": {"message": message}}})
        values = {parameter["name"]: parameter["value"] for parameter in asked["parameters"]}
        rows = [[str(value) for value in row] for row in self.spark.sql(asked["statement"], args=values).collect()]
        return self._answer({"status": {"state": "SUCCEEDED"}, "result": {"data_array": rows}})

    @staticmethod
    def _answer(answer: dict) -> Response:
        return Response(json.dumps(answer), content_type="application/json")
