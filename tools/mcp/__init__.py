"""Tools of other programs by the Model Context Protocol, and ours offered to them."""
