internal import ControlClient
internal import Domain

/// What a drill saw.
struct DrillReport: Codable, Equatable {
  enum State: String, Codable { case done, skipped, failed }

  struct Step: Codable, Equatable {
    var name: String
    var state: State
    /// What was done, or why not.
    var note: String
    var seconds: Double
    /// Requests that began in it.
    var requests = 0
    var lost = 0
    var p50Milliseconds: Double?
    var p99Milliseconds: Double?
    var maximumMilliseconds: Double?
    /// Of the step that restarts the server.
    var restart: Restart?

    init(name: String, state: State, note: String, seconds: Double, restart: Restart? = nil) {
      self.name = name
      self.state = state
      self.note = note
      self.seconds = seconds
      self.restart = restart
    }
  }

  /// One process of the server in place of another.
  struct Restart: Codable, Equatable {
    var formerPid: Int
    var pid: Int
    var version: String
    /// Until the new process answered.
    var seconds: Double
    /// How long changes by the API waited; of an upgrade.
    var heldSeconds: Double?
    /// Connections that the old process had then; of an upgrade.
    var leftConnections: Int?
    /// Whether the old process still answered its last requests at the end of the step.
    var formerProcessDrains: Bool
  }

  struct Form: Codable, Equatable {
    var name: String
    var requests: Int
    var lost: Int
  }

  struct Failure: Codable, Equatable {
    var requestId: String
    var step: String
    var form: String
    /// 0: no answer came.
    var status: Int
    var message: String
    /// Seconds from the beginning of the drill.
    var at: Double
  }

  static let mostFailures = 100

  var alias: String
  var seconds = 0.0
  var requests = 0
  var lost = 0
  /// Requests that the server had not looked at, and that were sent again, as clients do.
  var resent = 0
  /// Streams and WebSockets that ended in a step that killed their instance: nobody can save them.
  var cutStreams = 0
  var steps: [Step] = []
  var forms: [Form] = []
  /// The first hundred.
  var failures: [Failure] = []

  var isGood: Bool { lost == 0 && requests > 0 && !steps.contains { $0.state == .failed } }

  /// `began`: monotonic nanoseconds at which each step began, in their order.
  init(alias: String, steps: [Step], began: [Int64], ended: Int64, answers: [DrillAnswer]) {
    self.alias = alias
    self.steps = steps
    let start = began.first ?? ended
    seconds = Double(ended - start) / 1e9
    var times = [[Int64]](repeating: [], count: steps.count)
    var counts: [String: (requests: Int, lost: Int)] = [:]
    for answer in answers.sorted(by: { $0.began < $1.began }) {
      let step = max((began.lastIndex { $0 <= answer.began } ?? 0), 0)
      guard step < steps.count else { continue }
      requests += 1
      if answer.wasResent { resent += 1 }
      self.steps[step].requests += 1
      var isLost = answer.failure != nil
      // A stream may have begun long before its instance was killed: what counts is when it ended.
      let last = answer.isLasting ? max(step, began.lastIndex { $0 <= answer.ended } ?? step) : step
      if isLost, answer.isLasting, steps[last].name == "kill" {
        cutStreams += 1
        isLost = false
      }
      if !answer.isLasting { times[step].append(answer.ended - answer.began) }
      counts[answer.form, default: (0, 0)].requests += 1
      guard isLost else { continue }
      counts[answer.form]?.lost += 1
      lost += 1
      self.steps[last].lost += 1
      guard failures.count < Self.mostFailures else { continue }
      failures.append(
        Failure(
          requestId: answer.requestID, step: steps[last].name, form: answer.form, status: answer.status,
          message: answer.failure ?? "", at: Double(answer.began - start) / 1e9))
    }
    for (index, found) in times.enumerated() where !found.isEmpty {
      let sorted = found.sorted()
      func part(_ part: Double) -> Double {
        Double(sorted[min(sorted.count - 1, Int(part * Double(sorted.count)))]) / 1e6
      }
      self.steps[index].p50Milliseconds = part(0.5)
      self.steps[index].p99Milliseconds = part(0.99)
      self.steps[index].maximumMilliseconds = part(1)
    }
    forms = counts.sorted { $0.key < $1.key }.map {
      Form(name: $0.key, requests: $0.value.requests, lost: $0.value.lost)
    }
  }

  var text: String {
    let made = forms.map { "\($0.name) \($0.requests)" }.joined(separator: ", ")
    var text =
      "drill of alias \(alias): \(requests) requests in \(Self.rounded(seconds)) s (\(made)), \(lost) lost"
    if resent > 0 { text += ", \(resent) sent again" }
    if cutStreams > 0 { text += ", \(cutStreams) streams ended with killed instances" }
    var table = Table("STEP", "STATE", "REQUESTS", "LOST", "P50", "P99", "MAX", "WHAT")
    for step in steps {
      table.add(
        step.name, step.state.rawValue, "\(step.requests)", "\(step.lost)", Self.time(step.p50Milliseconds),
        Self.time(step.p99Milliseconds), Self.time(step.maximumMilliseconds),
        Table.oneLine(step.note, width: 120))
    }
    text += "\n\n" + table.text
    guard !failures.isEmpty else { return text }
    var lost = Table("LOST", "STEP", "BY", "STATUS", "AT", "WHY")
    for failure in failures {
      lost.add(
        failure.requestId, failure.step, failure.form, failure.status == 0 ? "-" : "\(failure.status)",
        "\(Self.rounded(failure.at)) s", Table.oneLine(failure.message, width: 160))
    }
    return text + "\n" + lost.text
  }

  static func rounded(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
  }

  private static func time(_ milliseconds: Double?) -> String {
    milliseconds.map { "\(rounded($0)) ms" } ?? "-"
  }
}
