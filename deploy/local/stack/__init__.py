"""The local stack: everything Reveille needs on one machine, without root, without Docker.

    layout     where a stack keeps its files
    daemon     one background process: start, find again, stop
    net        loopback only: free ports, one HTTP call, one Kafka request
    postgres   a private PostgreSQL cluster
    database   what is in it: roles, tables, migrations
    kafka_jars Apache Kafka, fetched by Maven
    broker     embedded, Apache Kafka, or one that runs already
    roster     mentors to look at
    build      our programs, by CMake
    programs   our programs and the scripted engine as processes
    stack      all of it together
    cli, demo  the commands up, down, start and demo

Modules know those above them, never those below. Nothing is kept in module variables: two stacks
in one process, or in two, do not meet. Standard library only. For development and tests, never to
serve production: PostgreSQL trusts whoever may open its socket, secrets are files beside the data.
"""
