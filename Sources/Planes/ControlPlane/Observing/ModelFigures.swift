import Domain
import Wire

/// What Triton's own metrics say of one instance's models.
struct ModelFigures: Sendable, Equatable {
  /// Counts since the instance was started.
  struct Model: Sendable, Equatable {
    var requests = 0.0
    var failures = 0.0
    var executions = 0.0
    var queueMicroseconds = 0.0
    var computeMicroseconds = 0.0
    var pending = 0.0
  }

  /// A version of a model, by Triton's labels.
  struct Name: Sendable, Hashable {
    var model: String
    var version: String
  }

  var models: [Name: Model] = [:]

  init() {}

  /// Reads the families that Triton names `nv_inference_...`; nil when there is none.
  init?(_ families: [MetricFamily]) {
    for sample in families.lazy.flatMap(\.samples) where sample.name.hasPrefix("nv_inference_") {
      guard sample.value.isFinite, let title = sample.labels.first(where: { $0.name == "model" })?.value
      else { continue }
      let version = sample.labels.first { $0.name == "version" }?.value ?? "1"
      let name = Name(model: title, version: version)
      var model = models[name] ?? Model()
      switch sample.name {
      case "nv_inference_request_success": model.requests += sample.value
      case "nv_inference_request_failure": model.failures += sample.value
      case "nv_inference_exec_count": model.executions += sample.value
      case "nv_inference_queue_duration_us": model.queueMicroseconds += sample.value
      case "nv_inference_compute_input_duration_us", "nv_inference_compute_infer_duration_us",
        "nv_inference_compute_output_duration_us":
        model.computeMicroseconds += sample.value
      case "nv_inference_pending_request_count": model.pending += sample.value
      default: continue
      }
      models[name] = model
    }
    if models.isEmpty { return nil }
  }

  /// The gauge that stands for the time in Triton's queue: of the model whose requests waited longest since `earlier`, the mean
  /// in milliseconds; 0 when nothing was asked. Nil: an instance that was started anew in between says nothing yet.
  func queueMilliseconds(since earlier: ModelFigures) -> Double? {
    var longest = 0.0
    for (name, model) in models {
      let former = earlier.models[name] ?? Model()
      let requests = model.requests - former.requests
      let waited = model.queueMicroseconds - former.queueMicroseconds
      guard requests >= 0, waited >= 0 else { return nil }
      if requests > 0 { longest = max(longest, waited / requests / 1000) }
    }
    return longest
  }

  static let queueGauge = "roost_queue_milliseconds"

  mutating func add(_ other: ModelFigures) {
    for (name, model) in other.models {
      var sum = models[name] ?? Model()
      sum.requests += model.requests
      sum.failures += model.failures
      sum.executions += model.executions
      sum.queueMicroseconds += model.queueMicroseconds
      sum.computeMicroseconds += model.computeMicroseconds
      sum.pending += model.pending
      models[name] = sum
    }
  }

  /// Under one of the names of a model; it has two, of which Triton counts apart, those under the id as version 1.
  func resource(_ placed: PlacedModel) -> ServedModelResource? {
    let names = [
      Name(model: placed.name, version: String(placed.number)), Name(model: placed.id.text, version: "1"),
    ]
    guard let own = names.lazy.compactMap({ models[$0] }).first else { return nil }
    // Requests under the id are handed on to the name: they are counted there.
    return ServedModelResource(
      name: placed.name, version: placed.version, requests: Int(own.requests), failures: Int(own.failures),
      executions: Int(own.executions),
      queueMilliseconds: own.requests > 0 ? own.queueMicroseconds / own.requests / 1000 : nil,
      computeMilliseconds: own.requests > 0 ? own.computeMicroseconds / own.requests / 1000 : nil,
      pending: Int(own.pending))
  }
}
