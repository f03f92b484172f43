"""The errors of the test cluster."""


class ClusterError(Exception):
    """The cluster could not be built or used; the message says what to do."""


class ClusterInUseError(ClusterError):
    """The directory holds a running cluster that someone may still want."""
