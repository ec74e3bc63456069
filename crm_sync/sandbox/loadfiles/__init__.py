"""Ready load files for four public data sets. The data itself is not part of this package."""
