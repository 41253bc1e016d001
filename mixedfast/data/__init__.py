"""Tables in and out: frames of any library, files, batches, lazy frames."""
