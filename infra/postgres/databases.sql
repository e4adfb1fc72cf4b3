-- A database for each service that has one. Run once, when the server's data is made; tables are made by each service's
-- `migrate`.
CREATE DATABASE trip;
CREATE DATABASE pricing;
CREATE DATABASE payment;
CREATE DATABASE sandbox;
