"""The five nodes of the graph, each with its routing function."""
