"""The labelling server's pages: FastAPI, pages made on the server, one process."""
