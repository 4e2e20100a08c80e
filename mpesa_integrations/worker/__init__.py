"""The worker that does all there is to do, beside a site: its loops, its health, and its end."""
