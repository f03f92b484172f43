"""The one error of the test cluster."""


class ClusterError(Exception):
    """The cluster could not be built or used; the message says what to do."""
