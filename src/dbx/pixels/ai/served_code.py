"""The code that MLflow keeps with a registered model, and runs to load it: a model from code."""

import mlflow

from dbx.pixels.ai.served import ServedModel

mlflow.models.set_model(ServedModel())
