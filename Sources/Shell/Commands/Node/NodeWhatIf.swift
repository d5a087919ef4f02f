internal import ControlClient
internal import Domain

/// `roost node scaling --what-if`
enum NodeWhatIf {
  static func run(_ context: Context, _ path: String, _ command: Command) async throws {
    let client = try context.client()
    let node = try client.node(context.first)
    let text = String(decoding: try LocalFile.read(path), as: UTF8.self)
    let (seconds, services) = try Recording.read(text, node: node.id.text, path: path)
    let parsed = context.parsed
    let result = try client.whatIf(
      node.id.text,
      WhatIfRequest(
        seconds: seconds, services: services,
        serviceSeconds: parsed.duration("service").map(\.fractionalSeconds),
        startSeconds: parsed.duration("start").map(\.fractionalSeconds), width: parsed.integer("width"),
        minimum: parsed.integer("min"), maximum: parsed.integer("max"),
        scaling: try NodeScaling.spec(parsed, command)))
    try context.show(result, names: [node.name]) { show(result) }
  }

  static func show(_ result: WhatIfResource) -> String {
    var facts = Facts()
    facts.add("Requests", "\(result.requests) in \(result.seconds) s")
    facts.add("Instances", "at most \(result.peak), \(Int(result.instanceSeconds)) instance-seconds")
    facts.add(
      "Waits",
      "p50 \(text(result.p50WaitSeconds)), p95 \(text(result.p95WaitSeconds)), p99 \(text(result.p99WaitSeconds)), longest \(text(result.longestWaitSeconds))"
    )
    if result.unanswered > 0 { facts.add("Unanswered", "\(result.unanswered) still waited at the end") }
    guard !result.changes.isEmpty else {
      return facts.text + "\nThe number of instances would not have changed.\n"
    }
    var table = Table("AT", "FROM", "TO", "REASON", "SEEN")
    for change in result.changes {
      table.add(text(change.seconds), String(change.from), String(change.to), change.reason, change.message)
    }
    return facts.text + "\n" + table.text
  }

  private static func text(_ seconds: Double) -> String {
    let hundredths = Int64((seconds * 100).rounded())
    let rest = hundredths % 100
    return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)s"
  }
}

/// Recorded requests: lines of CSV or of JSON.
enum Recording {
  /// When requests came, from the first one on, and how long each took where all say so.
  static func read(
    _ text: String, node: String, path: String
  ) throws(CommandFailure) -> (seconds: [Double], services: [Double]?) {
    var times: [Double] = []
    var services: [Double] = []
    var counts = false
    for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let line = raw.hasSuffix("\r") ? raw.dropLast() : raw
      if line.allSatisfy(\.isWhitespace) || line.hasPrefix("#") { continue }
      func wrong(_ what: String) -> CommandFailure {
        CommandFailure(.usage, "\(path), line \(index + 1): \(what)")
      }
      if line.hasPrefix("{") {
        guard let found = try json(line, node: node, wrong) else { continue }
        times.append(found.time)
        if let service = found.service { services.append(service) }
        continue
      }
      let cells = line.split(separator: ",", omittingEmptySubsequences: false).map {
        String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
      }
      if times.isEmpty, let first = cells.first, first.first?.isLetter == true {
        counts = cells.contains("count")
        continue
      }
      guard let time = moment(cells[0]), cells.count <= 2 else {
        throw wrong(
          "'\(line.prefix(60))' is not TIME or TIME,SECONDS (a time is seconds, or like 2026-05-01T12:00:00Z)"
        )
      }
      if counts {
        guard cells.count == 2, let count = Int(cells[1]), (0...1_000_000).contains(count) else {
          throw wrong("the count of this second is missing or not a whole number")
        }
        for place in 0..<count { times.append(time + Double(place) / Double(count)) }
      } else {
        times.append(time)
        guard cells.count == 2 else { continue }
        guard let service = Double(cells[1]) else { throw wrong("'\(cells[1])' is not a number of seconds") }
        services.append(service)
      }
    }
    guard let first = times.min() else {
      throw CommandFailure(.usage, "\(path): no request of node \(node) is in it")
    }
    guard services.isEmpty || services.count == times.count else {
      throw CommandFailure(.usage, "\(path): some lines say how long a request took and some do not")
    }
    // Seconds count from where the file says; points in time from the first of them.
    let begin = first > 1_000_000_000 ? first : 0
    return (times.map { $0 - begin }, services.isEmpty ? nil : services)
  }

  private static func moment(_ text: String) -> Double? {
    if let number = Double(text), number.isFinite, number >= 0 { return number }
    return Timestamp(text).map { Double($0.microseconds) / 1e6 }
  }

  /// A line of an access log, or `{"time": ..., "seconds": ...}`; nil for one of another node.
  private static func json(
    _ line: Substring, node: String, _ wrong: (String) -> CommandFailure
  ) throws(CommandFailure) -> (time: Double, service: Double?)? {
    let tree: JSONTree
    do throws(JSONTreeError) { tree = try JSONTree(parsing: Array(line.utf8)) } catch {
      throw wrong("is not JSON: \(error)")
    }
    func number(_ name: String) -> Double? { tree[name].flatMap { Double($0.compact) } }
    if case .string(let other)? = tree["node"], other != node { return nil }
    var time = number("time")
    if case .string(let text)? = tree["time"] { time = moment(text) }
    guard var time else { throw wrong("has no time") }
    // The access log is written when a request ends.
    if let took = number("duration_us") {
      time -= took / 1e6
      return (time, (took - (number("queue_us") ?? 0)) / 1e6)
    }
    return (time, number("seconds"))
  }
}
