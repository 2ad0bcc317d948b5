-- Generated covers are served under /api too, which is all that a front-end of one's own has to pass on.
update games set image = '/api' || image where image like '/covers/%';
