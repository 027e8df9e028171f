"""What a cell is: the specification that its key is made of, where its volumes lie, and the record it ends as."""
