internal import Contract
internal import Domain
internal import Wire

/// What an execute request for a saved model is on its way: the call that was made of it, and what has come of the answer.
final class ModelExecution {
  let contract: ModelNodeContract
  let call: ModelCall
  /// How it came and is answered.
  let form: ExecuteRequest.Form
  private(set) var body: [UInt8] = []
  private(set) var headCount: Int?

  init(_ contract: ModelNodeContract, _ call: ModelCall, _ form: ExecuteRequest.Form) {
    self.contract = contract
    self.call = call
    self.form = form
  }

  var model: ModelNodeContract.Model { contract.models[call.model] }
  /// Answered with a status of gRPC.
  var isCall: Bool { form != .rest }

  /// An answer begins: what an earlier attempt gave is forgotten.
  func begin(headCount: Int?) {
    body = []
    self.headCount = headCount
  }

  func add(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    body.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
  }
}

extension Refusal {
  /// What Triton says of a request that it did not answer.
  init(triton body: [UInt8], status: Int, model: String) {
    let text =
      (try? JSONValue(parsing: body))?["error"]?.stringValue
      ?? "model '\(model)' answered with the status \(status)"
    // A model that is being loaded anew has no version for a moment.
    if text.contains("is not healthy") || text.contains("has no available versions") || status == 503 {
      self.init(.unavailable, "model '\(model)' is being loaded anew: \(text)", origin: .node)
    } else if status == 400 {
      self.init(.invalidArgument, "model '\(model)': \(text)")
    } else {
      // As a cell's own errors are told: `ValueError: ...`, as Python said it.
      self.init(.unknown, "model '\(model)': \(text)", origin: .node)
      let parts = text.split(separator: ": ", maxSplits: 1)
      let isName = parts.count == 2 && parts[0].allSatisfy { $0.isLetter || $0 == "." || $0 == "_" }
      details = (
        name: isName ? String(parts[0]) : "Exception", message: isName ? String(parts[1]) : text,
        traceback: []
      )
    }
  }
}
