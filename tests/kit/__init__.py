"""The test kit: real servers, real processes and real faults, for every suite of the project."""
