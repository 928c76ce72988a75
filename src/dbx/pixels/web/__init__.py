"""The server: DICOMweb, the viewer, and what is needed to run it safely."""
