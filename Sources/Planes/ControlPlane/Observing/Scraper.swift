import HTTPModel
import HTTPTransport
import Wire

/// Where an instance tells its metrics.
public struct ScrapeTarget: Sendable, Equatable {
  /// `172.18.0.2:9090`, `[fd00::2]:9090` or `unix:/path`.
  public var address: String
  public var path: String

  public init(address: String, path: String) {
    self.address = address
    self.path = path
  }

  /// `GET http://172.18.0.2:9090/metrics`, `GET unix:/run/app/socket /metrics`
  public var description: String {
    address.hasPrefix("unix:") ? "GET \(address) \(path)" : "GET http://\(address)\(path)"
  }
}

/// What came of a pull.
public enum ScrapeAnswer: Sendable, Equatable {
  case text([UInt8], isOpenMetrics: Bool)
  /// Why there is none, in plain words.
  case failed(String)
}

/// Pulls metrics of instances over HTTP/1.1.
public struct Scraper: Sendable {
  public static let byteLimit = 8 << 20
  public static let deadline = Duration.seconds(5)

  private let byteLimit: Int
  private let deadline: Duration

  public init(byteLimit: Int = Self.byteLimit, deadline: Duration = Self.deadline) {
    self.byteLimit = byteLimit
    self.deadline = deadline
  }

  public func pull(_ target: ScrapeTarget) async -> ScrapeAnswer {
    guard let client = HTTPClient(address: target.address, connectTimeout: deadline, timeout: deadline) else {
      return .failed("\(target.address) is no address")
    }
    let request = HTTPRequest(
      method: "GET", target: target.path,
      headers: [
        ("accept", "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"),
        ("accept-encoding", "identity"), ("user-agent", "roost"),
      ])
    let response: HTTPResponse
    switch await client.fetch(request, limit: byteLimit, deadline: deadline) {
    case .success(let answer): response = answer
    case .failure(let error): return .failed(error.message)
    }
    guard response.status == 200 else { return .failed("answered \(response.status) instead of 200") }
    func header(_ name: String) -> String {
      response.headers.first { $0.name == name }?.value.lowercased() ?? ""
    }
    let encoding = header("content-encoding")
    guard encoding.isEmpty || encoding == "identity" else {
      return .failed("answered with content-encoding \(encoding), which was not asked for")
    }
    let type = header("content-type")
    guard !type.hasPrefix("text/html"), !type.hasPrefix("application/json"),
      !type.hasPrefix("application/vnd.google.protobuf")
    else { return .failed("answered with \(type.prefix { $0 != ";" }), not with metrics in text") }
    return .text(response.body, isOpenMetrics: type.hasPrefix("application/openmetrics-text"))
  }
}
