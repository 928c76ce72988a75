"""The MONAI Label protocol at ``/monai/``, which plug-ins of OHIF and 3D Slicer speak, or a proxy to a server of it."""
