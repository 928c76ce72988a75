# Databricks notebook source
# MAGIC %md
# MAGIC # Pixels in seven lines
# MAGIC The cluster needs the wheel of `dbx-pixels` as a library, and dedicated access mode. `path` is a folder of a
# MAGIC volume or an address in an object store; `table` is `catalog.schema.table`, or the address of a table's folder.

# COMMAND ----------

dbutils.widgets.text("path", "/Volumes/main/pixels/pixels_volume/dicom")
dbutils.widgets.text("table", "main.pixels.object_catalog")
dbutils.widgets.text("volume", "main.pixels.pixels_volume")
path, table, volume = (dbutils.widgets.get(name) for name in ("path", "table", "volume"))

# COMMAND ----------

from dbx.pixels import Catalog
from dbx.pixels.dicom import *

catalog = Catalog(spark, table, volume)
catalog_df = catalog.catalog(path)
meta_df = DicomMetaExtractor(catalog).transform(catalog_df)
thumbnail_df = DicomThumbnailExtractor().transform(meta_df)
catalog.save(thumbnail_df)

# COMMAND ----------

catalog.load().groupBy("Modality").count().show()

# COMMAND ----------

DicomPlot(catalog.load()).display()
