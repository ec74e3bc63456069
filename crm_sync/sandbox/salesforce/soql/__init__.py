"""SOQL: the text of a query (syntax), what it may touch (columns), where rows are (conditions), and its answer."""
