import HTTPTransport
public import Planning
public import TLS
import Wire

/// Asks instances whether they may get requests, and says what was seen in plain words.
public struct Prober: Sendable {
  private let client: ProbeClient
  /// A resolver may ask several servers, one after the other.
  private static let patience = Duration.seconds(15)

  /// `tls`: the authorities of servers that are asked with TLS.
  public init(tls: TLSContext? = nil) { client = ProbeClient(tls: tls) }

  /// Ends the thread behind it; nothing may be probed afterwards.
  public func close() { client.close() }

  public func probe(_ target: ProbeTarget) async -> ProbeOutcome {
    guard let (host, port) = Self.split(target.address) else {
      return await ask(target, at: target.address, resolved: target.address)
    }
    guard Self.isName(host) else {
      return await ask(target, at: target.address, resolved: target.address)
    }
    guard let found = await ProbeClient.resolve(host, timeout: target.timeout + Self.patience) else {
      return ProbeOutcome(passed: false, message: "the name '\(host)' could not be resolved in time")
    }
    guard !found.isEmpty else {
      return ProbeOutcome(passed: false, message: "the name '\(host)' can't be resolved")
    }
    var outcome = ProbeOutcome(passed: false, message: "")
    for address in found {
      let literal = address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
      outcome = await ask(target, at: literal, resolved: literal)
      // A name may have addresses of a family that the server does not listen on.
      if outcome.resolved != nil { break }
    }
    return outcome
  }

  /// `resolved` of the outcome is nil when no connection was made.
  private func ask(_ target: ProbeTarget, at address: String, resolved: String) async -> ProbeOutcome {
    let kind: ProbeQuestion.Kind
    switch target.question {
    case .connect: kind = .connect
    case .http(let path): kind = .get(path: path)
    case .grpc(let service): kind = .health(service: service)
    }
    let authority = target.address.hasPrefix("unix:") ? "localhost" : target.address
    let answer = await client.ask(
      ProbeQuestion(
        address: address, kind: kind, authority: authority, overHTTP2: target.overHTTP2,
        serverName: target.serverName,
        timeout: target.timeout))
    switch answer {
    case .health(let status, let message, let serving):
      let words = Self.words(status, message, serving, target.question)
      return ProbeOutcome(passed: status == 0 && serving == 1, message: words, resolved: resolved)
    case .connected: return ProbeOutcome(passed: true, message: "connected", resolved: resolved)
    case .status(let status):
      return ProbeOutcome(
        passed: (200...399).contains(status), message: "answered \(status)", resolved: resolved)
    case .unreachable(let code): return ProbeOutcome(passed: false, message: ProbeAnswer.words(code))
    case .noConnection:
      return ProbeOutcome(passed: false, message: "no connection in \(Self.text(target.timeout))")
    case .noAnswer:
      return ProbeOutcome(
        passed: false, message: "no answer in \(Self.text(target.timeout))", resolved: resolved)
    case .closed:
      return ProbeOutcome(
        passed: false, message: "closed the connection without an answer", resolved: resolved)
    case .overdue:
      return ProbeOutcome(
        passed: false,
        message: "the probe did not end within its \(Self.text(target.timeout)) and was given up")
    case .untrusted(let why):
      return ProbeOutcome(passed: false, message: "TLS: \(why)", resolved: resolved)
    case .malformed(let what): return ProbeOutcome(passed: false, message: what, resolved: resolved)
    case .cancelled: return ProbeOutcome(passed: false, message: "the probe was cancelled")
    }
  }

  /// The answer of a health service, in the words of its protocol and what they mean.
  private static func words(
    _ status: Int, _ message: String, _ serving: Int?, _ question: ProbeTarget.Question
  ) -> String {
    guard status == 0 else {
      let name = GRPCCode(rawValue: Int32(clamping: status))?.name ?? "gRPC status \(status)"
      return switch (GRPCCode(rawValue: Int32(clamping: status)), question) {
      case (.notFound, .grpc(let service)):
        "answered NOT_FOUND: its health service does not know '\(service)'"
      case (.unimplemented, _): "answered UNIMPLEMENTED: it has no health service (grpc.health.v1.Health)"
      default: message.isEmpty ? "answered \(name)" : "answered \(name): \(message)"
      }
    }
    return switch serving {
    case 0: "answered UNKNOWN"
    case 1: "answered SERVING"
    case 2: "answered NOT_SERVING"
    case 3: "answered SERVICE_UNKNOWN"
    default: "answered something that is not a health status"
    }
  }

  private static func split(_ address: String) -> (host: String, port: Substring)? {
    guard !address.hasPrefix("unix:"), let colon = address.lastIndex(of: ":") else { return nil }
    return (String(address[..<colon]), address[address.index(after: colon)...])
  }

  /// Anything but an IP literal.
  private static func isName(_ host: String) -> Bool {
    !host.hasPrefix("[") && !host.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2e }
  }

  /// `1 s`, `0.25 s`.
  private static func text(_ duration: Duration) -> String {
    let milliseconds = duration / .milliseconds(1)
    let seconds = milliseconds / 1000
    return seconds == seconds.rounded() ? "\(Int(seconds)) s" : "\(seconds) s"
  }
}
