// Three rounds for the pipeline: it trains, the loop chooses what is labeled next.
{
  active_learning: {
    learner: { type: "pipeline", url: "http://127.0.0.1:5000", embeddings: true },
    strategy: "badge",
    initial: { size: 50 },
    query_size: 50,
    budget: 150,
  },
}
