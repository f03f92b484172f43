"""The node agent: brings up, watches and takes down one node's part of the Ray cluster inside a job."""
