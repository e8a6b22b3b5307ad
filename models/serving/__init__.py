"""A server for the folders that the commands write: many clients' texts, answered together, one worker thread per core.

folders.py, answerers.py   from a folder of any kind to its answers
batching.py                the queue and the workers
server.py                  what the routes share: choosing a model, limits, waiting for the answer, loading models again
app.py, openai_routes.py   the routes; openapi.py describes them, page.html tries them out
problems.py, keys.py       errors with their cure; who may ask
log.py, metrics.py         what is kept of each answer
drift.py, watch_command.py do today's texts and answers look like those that the model was tested on?
Read answerers, batching, server, app.
"""
