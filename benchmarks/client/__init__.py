"""The C++ client compared with the Python client, against one server in one run."""
