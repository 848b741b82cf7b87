"""How a release on disk becomes a prepared data set: what the data sets share."""
