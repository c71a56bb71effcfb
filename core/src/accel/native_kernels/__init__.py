"""The Python halves of KV kernels whose native halves differ by backend, written once.

A backend's class names its native module and the device types it reaches, and inherits the rest::

    class MyKernels(Movement):
        native = _native.kv
        devices = ("cuda",)
"""
