"""OpenAI's Batch API as another transport of a teacher stage: half the price, an answer within 24 hours."""

from raydistill.teacher.batch.rounds import run as run
from raydistill.teacher.batch.take_in import take_in as take_in
