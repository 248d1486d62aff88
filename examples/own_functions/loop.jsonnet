// The pipeline of main.py trains; the loop chooses what is labeled next.
{
  active_learning: {
    learner: { type: "pipeline", url: "http://127.0.0.1:5000" },
    strategy: "margin",
    initial: { size: 50 },
    query_size: 25,
    budget: 150,
  },
}
