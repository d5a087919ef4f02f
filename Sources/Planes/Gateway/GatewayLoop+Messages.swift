internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry

/// What others tell the loop.
extension GatewayLoop {
  func rung() {
    for message in shared.mailboxes[index].take() {
      switch message {
      case .table(let table): use(table)
      case .answer(let key, let response): answerCollected(key, response)
      case .wake(let id): if let node = nodes.first(where: { $0.shared.id == id }) { pump(node) }
      case .tls(let context): server.tlsContext = context
      case .part(let instance): endStreams(at: instance)
      case .call(let injected): make(injected)
      case .listen(let byLoop):
        server.listen(byLoop[index])
        counters.listens.add()
      case .leave:
        server.leave()
        counters.connections.set(server.openCount)
        counters.drains.add()
      case .endStreams:
        endStreamedCalls()
        server.endLeaving()
        endStreams(at: nil)
      case .drain:
        endStreamedCalls()
        server.drain()
        closeWebSockets()
        counters.connections.set(server.openCount)
        counters.drains.add()
      case .cancelAll: cancelAll()
      case .stop:
        writeAll()
        loop.stop()
      }
    }
  }
}
