"""What developing and testing needs beside the product: pinned servers from Go modules, and checks of the checkout."""
